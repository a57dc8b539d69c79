"""What people look at: contact sheet, histogram, curves. Plain data in, Markdown or PNG out."""
