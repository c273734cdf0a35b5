/* RFC 6298's estimator on TFTP's terms. */
#include "retransmit.h"

/* Enough to pass RETRANSMIT_MAX from any estimate, and no shift can overflow. */
#define SHIFT_MAX 12

void retransmit_init(struct retransmit *r, mono_t first, mono_t now)
{
	*r = (struct retransmit){
		.first = first > 0 ? first : RETRANSMIT_FIRST,
		.progress = now,
		.early = true,
	};
}

void retransmit_fix(struct retransmit *r, mono_t interval)
{
	r->fixed = interval;
}

void retransmit_sample(struct retransmit *r, mono_t rtt)
{
	mono_t error;

	if (rtt < 1)
		rtt = 1;
	if (r->srtt == 0) {
		r->srtt = rtt;
		r->rttvar = rtt / 2;
	} else {
		r->early = false;
		error = rtt > r->srtt ? rtt - r->srtt : r->srtt - rtt;
		r->rttvar += (error - r->rttvar) / 4;
		r->srtt += (rtt - r->srtt) / 8;
		if (r->srtt < 1)
			r->srtt = 1;
	}
	r->shift = 0;
}

void retransmit_progress(struct retransmit *r, mono_t now)
{
	r->tries = 0;
	r->progress = now;
}

void retransmit_relax(struct retransmit *r)
{
	if (r->tries == 0 && r->srtt > 0 && r->shift > 0)
		r->shift--;
}

void retransmit_expired(struct retransmit *r)
{
	r->tries++;
	if (r->shift < SHIFT_MAX)
		r->shift++;
}

mono_t retransmit_interval(const struct retransmit *r)
{
	mono_t base, interval;

	if (r->fixed > 0)
		return r->fixed;
	base = r->srtt == 0 ? r->first : r->srtt + 4 * r->rttvar + RETRANSMIT_SLACK;
	if (r->early && base < RETRANSMIT_EARLY + r->crowd)
		base = RETRANSMIT_EARLY + r->crowd;
	interval = base << r->shift;
	if (interval > RETRANSMIT_MAX)
		interval = base > RETRANSMIT_MAX ? base : RETRANSMIT_MAX;
	return interval;
}

mono_t retransmit_prompt(const struct retransmit *r)
{
	if (r->fixed > 0 || r->srtt == 0)
		return MONO_NEVER;
	return 2 * r->srtt + 4 * r->rttvar + RETRANSMIT_PROMPT;
}

bool retransmit_hopeless(const struct retransmit *r, bool proved, mono_t give_up, unsigned tries, mono_t now)
{
	if (!proved)
		return r->tries >= tries;
	if (r->fixed > 0 && give_up < 4 * r->fixed)
		give_up = 4 * r->fixed;
	return now - r->progress >= give_up;
}
