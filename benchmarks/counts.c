/* Tells Valgrind where begins and ends what counts; counted.py calls it. Without Valgrind it does nothing. */

#include <valgrind/callgrind.h>

void on(void) { CALLGRIND_START_INSTRUMENTATION; }
void off(void) { CALLGRIND_STOP_INSTRUMENTATION; }

/* Not CALLGRIND_ZERO_STATS: that leaves a part of what was counted in functions that go on. */
void begin(void) { CALLGRIND_TOGGLE_COLLECT; }
void end(const char *name)
{
    CALLGRIND_TOGGLE_COLLECT;
    CALLGRIND_DUMP_STATS_AT(name);
}
