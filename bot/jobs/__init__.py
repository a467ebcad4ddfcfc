"""What the scheduler does by itself: refresh, evaluate, summarise, drain."""
