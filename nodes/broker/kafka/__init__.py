"""The Kafka listener: a broker's handlers, asked in Kafka's own protocol.

``listener`` has the connections, ``connection`` one of them, ``exchange`` one request; ``table`` says which
function translates which API, and the other files have those, one for each conversation.  They turn
a foreign request into the messages that the handlers take, and the answers back; they decide nothing.
"""
