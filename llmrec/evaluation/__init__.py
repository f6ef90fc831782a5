"""From recommended titles to ranks, from ranks to metrics, and the record and table they leave."""
