"""Records of every question: what it did, took and cost, for whoever is on call."""
