"""Before paying: what Ray's own scheduler would launch for given demands, and why a demand would stay pending."""
