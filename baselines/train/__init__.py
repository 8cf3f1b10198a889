"""How models and the person detector are trained. May import run and everything below it."""
