package live

import (
	"net/http"
	"time"
)

const (
	// waitingEvents is how many events may wait for a slow page. A page with more is cut off: it reconnects, and gets the history again.
	waitingEvents = 16
	// writeTimeout limits one write to a page.
	writeTimeout = 10 * time.Second
)

// history is the second event of a stream.
type history struct {
	Stock   []StockSample   `json:"stock"`
	Traffic []TrafficSample `json:"traffic"`
}

// publish sends an event to all streams. It never waits. l.mu must be locked.
func (l *Live) publish(name string, data any) {
	if len(l.streams) == 0 {
		return
	}
	event := encode(name, data)
	for events := range l.streams {
		select {
		case events <- event:
		default:
			delete(l.streams, events)
			close(events)
		}
	}
}

// open adds a stream. It returns the events that begin it; ok is false if there are too many streams, or the server stops.
func (l *Live) open() (events chan []byte, beginning [][]byte, ok bool) {
	l.mu.Lock()
	if l.stopped || len(l.streams) >= maxStreams {
		l.mu.Unlock()
		return nil, nil, false
	}
	events = make(chan []byte, waitingEvents)
	l.streams[events] = true
	past := history{append([]StockSample{}, l.stock...), append([]TrafficSample{}, l.traffic...)}
	if l.state != nil {
		events <- encode("state", l.state)
	}
	l.mu.Unlock()
	return events, [][]byte{encode("settings", l.settings()), encode("history", past)}, true
}

func (l *Live) close(events chan []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams[events] {
		delete(l.streams, events)
		close(events)
	}
}

// endStreams ends all streams, and lets no new one begin. A server that stops waits for its streams.
func (l *Live) endStreams() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	for events := range l.streams {
		close(events)
	}
	clear(l.streams)
}

// serveEvents streams until the client leaves, falls behind, or the server stops.
func (l *Live) serveEvents(w http.ResponseWriter, r *http.Request) {
	events, beginning, ok := l.open()
	if !ok {
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusServiceUnavailable, "Too many pages are open. Close one.")
		return
	}
	defer l.close(events)
	connection := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	send := func(event []byte) bool {
		_ = connection.SetWriteDeadline(time.Now().Add(writeTimeout)) // the server's own would end the stream; net/http's writers have one
		_, err := w.Write(event)
		return err == nil && connection.Flush() == nil
	}
	for _, event := range beginning {
		if !send(event) {
			return
		}
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case event, open := <-events:
			if !open || !send(event) {
				return
			}
		}
	}
}
