"""Which machines to start: instance types, prices, quotas, and the requests for them."""
