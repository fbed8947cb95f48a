package clients

// Abandon lets the client vanish without a word, like a laptop that has lost
// its network: not one packet leaves it any more, neither to a peer nor to the
// relay, so that no connection of it is ended or reset. Its loopback ports stay
// open; what is written to them goes nowhere.
func (c *Client) Abandon() { c.server.Sys().MagicSock.Get().SetNetworkUp(false) }

// Return ends Abandon: the client's network is back.
func (c *Client) Return() { c.server.Sys().MagicSock.Get().SetNetworkUp(true) }
