"""Why a score is what it is: error types, curves, the report page. May import everything but convert and compat."""
