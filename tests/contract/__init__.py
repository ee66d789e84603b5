"""Each dialect on the wire: API Gateway events through the real app, with the world behind it in memory."""
