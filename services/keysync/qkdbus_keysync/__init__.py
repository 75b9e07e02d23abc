"""Two ends of a link agree which bits are which chunk, and keep them until they are delivered."""
