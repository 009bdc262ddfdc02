"""What may stand beside the run record. Recipes from conf/logger are called with the record."""
