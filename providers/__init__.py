"""One thin wrapper per cloud round Ray's own node providers."""
