"""Images: where they come from, how they are verified and prepared, and banks of them."""
