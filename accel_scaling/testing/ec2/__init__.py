"""The local EC2: moto's API, and a real host for each instance; isolated ones, or plain processes."""
