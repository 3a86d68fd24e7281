"""Hosts on this machine that stand for a cloud's machines: isolated ones, or plain processes."""
