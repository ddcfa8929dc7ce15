"""What every page shares: base templates, one stylesheet, htmx as a file. No build step."""
