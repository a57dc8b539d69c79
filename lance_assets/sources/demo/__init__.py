"""The demo's source: game frames with true captions, published by loopback servers like any data set of the hub."""
