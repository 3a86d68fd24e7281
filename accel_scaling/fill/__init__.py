"""The fill: from a node type in a cluster file to what Ray is promised about its nodes."""
