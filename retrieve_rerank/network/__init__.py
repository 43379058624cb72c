"""What services over the network need: addresses, proxies, transports, checked answers."""
