"""What each page shows, as columns and sentences: one view a page."""
