"""From a network's outputs to people: what a card's `estimator` names. May import decode, devices and the protocol."""
