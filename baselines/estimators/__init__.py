"""From a network's outputs to people; a card's `estimator` names one of them. May import decode and devices."""
