package replay

import (
	"slices"

	"github.com/duroxide/duroxide/core/history"
)

// subscriptions are the open waits or dequeues, by name, oldest first.
type subscriptions map[string][]*node

func (s *subscriptions) add(n *node) {
	if *s == nil {
		*s = make(subscriptions)
	}
	(*s)[n.name] = append((*s)[n.name], n)
}

// oldest open subscription of a name, or nil.
func (s subscriptions) oldest(name string) *node {
	if open := s[name]; len(open) > 0 {
		return open[0]
	}
	return nil
}

// remove reports whether it was the last one of its name.
func (s subscriptions) remove(n *node) bool {
	open := s[n.name]
	i := slices.Index(open, n)
	if i < 0 {
		return false
	}
	if len(open) == 1 {
		delete(s, n.name)
		return true
	}
	s[n.name] = slices.Delete(open, i, i+1)
	return false
}

// queueOpened and queueClosed keep the lists that commits name. Commits hold the lists, so they are replaced.
func (x *Execution) queueOpened(name string) {
	x.openQueues = with(x.openQueues, name)
	x.usedQueues = with(x.usedQueues, name)
}

func (x *Execution) queueClosed(name string) {
	if i, ok := slices.BinarySearch(x.openQueues, name); ok {
		x.openQueues = slices.Concat(x.openQueues[:i], x.openQueues[i+1:])
	}
}

func with(sorted []string, name string) []string {
	i, ok := slices.BinarySearch(sorted, name)
	if ok {
		return sorted
	}
	return slices.Concat(sorted[:i], []string{name}, sorted[i:])
}

// batch is the messages of one turn: those that are applied in the order given, and mail, which is held until a dequeue
// of its queue is open.
type batch struct {
	messages []history.Message
	next     int              // first message, mail left aside, that is not taken
	mail     map[string][]int // untaken mail of each queue, oldest first
	taken    []bool
	consumed int
}

func (b *batch) begin(messages []history.Message) {
	b.messages, b.next, b.consumed = messages, 0, 0
	b.taken = slices.Grow(b.taken[:0], len(messages))[:len(messages)]
	clear(b.taken)
	clear(b.mail)
	for i := range messages {
		if messages[i].Kind == history.MsgMail {
			if b.mail == nil {
				b.mail = make(map[string][]int)
			}
			b.mail[messages[i].Name] = append(b.mail[messages[i].Name], i)
		}
	}
}

func (b *batch) take(i int) *history.Message {
	b.taken[i] = true
	b.consumed++
	return &b.messages[i]
}

// takeNext takes the message to apply now that all code is blocked; nil when there is none. It is the oldest held mail
// whose queue has an open dequeue, else the next other message. Mail is held from its place in the batch on, or, because
// stores list mail last and mail that nobody took comes again with every batch, once it is older than the next other
// message.
func (b *batch) takeNext(dequeues subscriptions) *history.Message {
	for b.next < len(b.messages) && (b.taken[b.next] || b.messages[b.next].Kind == history.MsgMail) {
		b.next++
	}
	if len(b.mail) > 0 && len(dequeues) > 0 {
		mail := -1
		for queue, waiting := range b.mail {
			if (mail < 0 || waiting[0] < mail) && dequeues.oldest(queue) != nil {
				mail = waiting[0]
			}
		}
		if mail >= 0 && (mail < b.next || b.next == len(b.messages) || older(&b.messages[mail], &b.messages[b.next])) {
			queue := b.messages[mail].Name
			if rest := b.mail[queue][1:]; len(rest) > 0 {
				b.mail[queue] = rest
			} else {
				delete(b.mail, queue)
			}
			return b.take(mail)
		}
	}
	if b.next == len(b.messages) {
		return nil
	}
	return b.take(b.next)
}

// older reports whether mail came before another message: a timer comes when it is due, all others when inserted. Within
// one millisecond the row decides, and what has none, or an old one like a timer, goes first.
func older(mail, other *history.Message) bool {
	a, b := max(mail.VisibleAt, mail.InsertedAt), max(other.VisibleAt, other.InsertedAt)
	if a != b {
		return a < b
	}
	return mail.Row != 0 && other.Row != 0 && mail.Row < other.Row
}

// consumedMessages are those taken. The slice given to the turn is shared where that is the same.
func (b *batch) consumedMessages() []history.Message {
	switch b.consumed {
	case 0:
		return nil
	case len(b.messages):
		return b.messages
	}
	consumed := make([]history.Message, 0, b.consumed)
	for i := range b.messages {
		if b.taken[i] {
			consumed = append(consumed, b.messages[i])
		}
	}
	return consumed
}
