package clients

// Abandon lets the client vanish without a word, like a laptop that loses its
// network: from now on no packet leaves it or reaches it, so that none of its
// connections is ended or reset. Its loopback ports stay open; what is written
// to them goes nowhere. The control server goes on believing it online, as it
// would for some minutes.
//
// It works by closing the sockets under WireGuard, and there is no way back:
// stop the client and start another.
func (c *Client) Abandon() error { return c.server.Sys().MagicSock.Get().Close() }
