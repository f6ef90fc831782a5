"""From experiments/<table>.yaml and the records of its cells to a report: figures, comparisons, texts and plots."""
