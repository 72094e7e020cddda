"""The records: what people have, the wishes about it, and the statements that settle a wish with what was seen."""
