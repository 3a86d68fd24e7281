"""The quarantine: node types that were refused or sold out are not launched for a while. Needs no cloud SDK."""
