"""From a request to a stream of Events, whatever dialect asked: `answer` is the one way in."""
