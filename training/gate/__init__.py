"""The promote gate: a challenger beside the champion, on the same recent cases and on what people have reviewed."""
