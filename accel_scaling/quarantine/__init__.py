"""Node types that lie or are sold out, left alone for a while: counted, remembered, told. Needs no Ray, no cloud."""
