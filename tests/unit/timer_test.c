/* SPDX-License-Identifier: BSD-2-Clause */
/* The timer wheel against its promise: never early, at most one tick late, at every distance and from every phase. */
#include "userspace/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TICK 64

struct probe {
	struct timer t;
	uint64_t fired_at;
	int fired;
	struct timer *victim; /* cancelled when this one fires */
	uint64_t again;	      /* set again to then + again */
};

static struct timer_wheel *wheel;
static uint64_t now;

static void fire(struct timer *t)
{
	struct probe *p = (struct probe *)t;

	assert_false(timer_is_set(t));
	p->fired++;
	p->fired_at = now;
	if (p->victim)
		timer_cancel(wheel, p->victim);
	if (p->again)
		timer_set(wheel, t, now + p->again);
}

/* Runs to end the way a worker does: sleeps as long as timer_next() allows.  Returns the number of looks. */
static unsigned run_to(uint64_t end)
{
	unsigned looks = 0;

	while (now < end) {
		uint32_t next = timer_next(wheel, now);

		now = next == UINT32_MAX || next > end - now ? end : now + next;
		timer_advance(wheel, now);
		looks++;
	}
	return looks;
}

static void start(uint64_t at)
{
	now = at;
	wheel = timer_wheel_new(now);
}

static void distances(void **state)
{
	static const uint64_t from[] = { 0, 1, 63, 64, 4095, 4096, 262143, 262144, 16777216 - 1, 987654321012ull };
	static const uint64_t far[] = {
		0, 1, 63, 64, 65, 127, 128, 4031, 4032, 4095, 4096, 4097, 8191, 8192, 262143, 262144, 262145, 300000, 600000,
		16777215, 16777216, 16777217, 86400000, 1073741823 - 128,
	};
	size_t i, j;

	for (i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		for (j = 0; j < sizeof(far) / sizeof(far[0]); j++) {
			struct probe p = { .t.fire = fire };

			start(from[i]);
			timer_set(wheel, &p.t, now + far[j]);
			assert_true(timer_is_set(&p.t));
			assert_true(run_to(from[i] + far[j] + 2 * TICK) <= 8); /* a look a level, not one a tick */
			assert_int_equal(p.fired, 1);
			assert_true(p.fired_at >= from[i] + far[j]);
			assert_true(p.fired_at <= from[i] + far[j] + TICK);
			assert_int_equal(timer_next(wheel, now), UINT32_MAX);
			timer_wheel_free(wheel);
		}
	}
}

static void the_farthest(void **state)
{
	struct probe p = { .t.fire = fire };

	start(12345);
	timer_set(wheel, &p.t, UINT64_MAX);
	run_to(now + (64ull * 64 * 64 * 64 - 2) * TICK);
	assert_int_equal(p.fired, 0);
	run_to(now + 3 * TICK);
	assert_int_equal(p.fired, 1);
	timer_wheel_free(wheel);
}

static void moved_and_cancelled(void **state)
{
	struct probe a = { .t.fire = fire }, b = { .t.fire = fire };

	start(1000);
	timer_cancel(wheel, &a.t);
	timer_set(wheel, &a.t, 2000);
	timer_set(wheel, &b.t, 2000);
	timer_set(wheel, &a.t, 9000);
	run_to(5000);
	assert_int_equal(a.fired, 0);
	assert_int_equal(b.fired, 1);
	timer_cancel(wheel, &a.t);
	timer_cancel(wheel, &a.t);
	assert_false(timer_is_set(&a.t));
	assert_int_equal(timer_next(wheel, now), UINT32_MAX);
	run_to(20000);
	assert_int_equal(a.fired, 0);
	timer_wheel_free(wheel);
}

static void firing_changes_the_wheel(void **state)
{
	struct probe a = { .t.fire = fire }, b = { .t.fire = fire }, c = { .t.fire = fire, .again = 1 };

	start(0);
	/* of two in one slot the first to fire cancels the other, whichever it is */
	a.victim = &b.t;
	b.victim = &a.t;
	timer_set(wheel, &a.t, 100);
	timer_set(wheel, &b.t, 100);
	run_to(300);
	assert_int_equal(a.fired + b.fired, 1);
	/* one that sets itself again at once fires once a look, not for ever within one */
	timer_set(wheel, &c.t, now);
	now += 10000;
	timer_advance(wheel, now);
	assert_int_equal(c.fired, 1);
	now += TICK;
	timer_advance(wheel, now);
	assert_int_equal(c.fired, 2);
	timer_cancel(wheel, &c.t);
	timer_wheel_free(wheel);
}

struct owner {
	struct timer t;
	int *freed;
};

static void free_owner(struct timer *t)
{
	struct owner *o = (struct owner *)t;

	++*o->freed;
	free(o);
}

static void firing_frees_the_owner(void **state)
{
	int i, freed = 0;

	start(0);
	for (i = 0; i < 100; i++) {
		struct owner *o = calloc(1, sizeof(*o));

		o->t.fire = free_owner;
		o->freed = &freed;
		timer_set(wheel, &o->t, (uint64_t)i * 50);
	}
	run_to(5100);
	assert_int_equal(freed, 100);
	timer_wheel_free(wheel);
}

static void a_clock_that_stands_or_goes_back(void **state)
{
	struct probe a = { .t.fire = fire };

	start(100000);
	timer_set(wheel, &a.t, 100000);
	timer_advance(wheel, 100000);
	timer_advance(wheel, 50);
	assert_int_equal(a.fired, 0);
	timer_advance(wheel, 100000 + TICK);
	assert_int_equal(a.fired, 1);
	timer_wheel_free(wheel);
}

/* Thousands of timers, moved and cancelled at random while the clock goes on in uneven steps. */
static void crowd(void **state)
{
	enum { N = 2000 };
	static struct probe p[N];
	static uint64_t due[N]; /* 0: not set */
	unsigned i, round;

	srand(7);
	memset(p, 0, sizeof(p));
	memset(due, 0, sizeof(due));
	start(777);
	for (i = 0; i < N; i++)
		p[i].t.fire = fire;
	for (round = 0; round < 3000; round++) {
		uint64_t before = now;

		for (i = 0; i < 20; i++) {
			unsigned n = (unsigned)rand() % N;

			if (rand() % 3) {
				due[n] = now + (uint64_t)rand() % (rand() % 2 ? 1000 : rand() % 20 ? 400000 : 40000000);
				timer_set(wheel, &p[n].t, due[n]);
			} else {
				due[n] = 0;
				timer_cancel(wheel, &p[n].t);
			}
			p[n].fired = 0;
		}
		now += (uint64_t)rand() % (rand() % 50 ? 2000 : 600000);
		timer_advance(wheel, now);
		for (i = 0; i < N; i++) {
			if (p[i].fired) {
				assert_true(due[i] && now >= due[i]);
				assert_int_equal(p[i].fired, 1);
				p[i].fired = 0;
				due[i] = 0;
			} else if (due[i]) {
				assert_true(now < due[i] + 2 * TICK || before + TICK > now);
				assert_true(timer_is_set(&p[i].t));
			}
		}
	}
	timer_wheel_free(wheel);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(distances),		     cmocka_unit_test(the_farthest),
		cmocka_unit_test(moved_and_cancelled),	     cmocka_unit_test(firing_changes_the_wheel),
		cmocka_unit_test(firing_frees_the_owner),    cmocka_unit_test(a_clock_that_stands_or_goes_back),
		cmocka_unit_test(crowd),
	};

	return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
