"""Under the operations: leases on rows, wake-up calls, the list of workers, the database's clock. May import models."""
