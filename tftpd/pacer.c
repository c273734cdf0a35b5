/* A shared rate: when the next byte may leave, and a heap of those that wait for that. */
#include "pacer.h"

#include <stdlib.h>

/* So much time that was not used may be caught up with: what the timer is late, and no more. */
#define BURST (10 * MONO_MS)

/* What everybody that waits may send together in one round. */
#define ROUND MONO_MS

static void pacer_fired(struct loop_timer *t, mono_t now);

void pacer_init(struct pacer *p, struct loop *loop, uint64_t rate, void (*go)(struct pacer_node *, mono_t))
{
	*p = (struct pacer){.rate = rate, .free_at = -MONO_NEVER, .loop = loop, .go = go};
	loop_timer_init(&p->timer, pacer_fired);
}

void pacer_free(struct pacer *p)
{
	loop_timer_clear(p->loop, &p->timer);
	free(p->heap);
	p->heap = NULL;
	p->n = p->cap = 0;
}

/* The heap. */

static void place(struct pacer *p, struct pacer_node *node, size_t i)
{
	p->heap[i] = node;
	node->index = i + 1;
}

static void settle(struct pacer *p, struct pacer_node *node, size_t i)
{
	for (; i > 0 && p->heap[(i - 1) / 2]->key > node->key; i = (i - 1) / 2)
		place(p, p->heap[(i - 1) / 2], i);
	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < p->n && p->heap[child + 1]->key < p->heap[child]->key)
			child++;
		if (child >= p->n || p->heap[child]->key >= node->key)
			break;
		place(p, p->heap[child], i);
		i = child;
	}
	place(p, node, i);
}

static bool insert(struct pacer *p, struct pacer_node *node)
{
	if (p->n == p->cap) {
		size_t cap = p->cap > 0 ? 2 * p->cap : 16;
		struct pacer_node **heap = realloc(p->heap, cap * sizeof(*heap));

		if (heap == NULL)
			return false;
		p->heap = heap;
		p->cap = cap;
	}
	p->n++;
	settle(p, node, p->n - 1);
	return true;
}

void pacer_leave(struct pacer *p, struct pacer_node *node)
{
	struct pacer_node *last;
	size_t at = node->index;

	if (at == 0)
		return;
	node->index = 0;
	last = p->heap[--p->n];
	if (last != node)
		settle(p, last, at - 1);
	if (p->n == 0)
		loop_timer_clear(p->loop, &p->timer);
}

/* Turns. */

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

bool pacer_enter(struct pacer *p, struct pacer_node *node, mono_t now)
{
	if (p->n == 0 && p->free_at <= now)
		return true;
	if (node->index != 0)
		return false;
	node->key = later(node->finish, p->virtual);
	if (!insert(p, node))
		return true;
	loop_timer_set(p->loop, &p->timer, p->free_at > now ? p->free_at : now);
	return false;
}

void pacer_charge(struct pacer *p, struct pacer_node *node, size_t bytes, mono_t now)
{
	uint64_t begin = later(node->finish, p->virtual);

	p->virtual = begin;
	node->finish = begin + bytes;
	if (p->free_at < now - BURST)
		p->free_at = now - BURST;
	p->free_at += (mono_t)((double)bytes * MONO_SEC / (double)p->rate);
	if (p->n > 0)
		loop_timer_set(p->loop, &p->timer, p->free_at);
}

size_t pacer_quantum(const struct pacer *p)
{
	uint64_t round = p->rate / (MONO_SEC / ROUND) / (p->n + 1);

	return round > 0 ? (size_t)round : 1;
}

/* One turn. The next one's time is set before, because `go` may be the end of the pacer. */
static void pacer_fired(struct loop_timer *t, mono_t now)
{
	struct pacer *p = (struct pacer *)((char *)t - offsetof(struct pacer, timer));
	struct pacer_node *node;

	if (p->n == 0)
		return;
	if (p->free_at > now) {
		loop_timer_set(p->loop, t, p->free_at);
		return;
	}
	node = p->heap[0];
	pacer_leave(p, node);
	if (p->n > 0)
		loop_timer_set(p->loop, t, now);
	p->go(node, now);
}
