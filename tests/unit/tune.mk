# SPDX-License-Identifier: BSD-2-Clause
# tune's rooms are danelawctl's: linked from there
TUNE_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tools/tune_*.c))
$(B)/tests/unit/tune_test: $(TUNE_OBJ)
$(B)/tests/unit/tune_journal_test: $(TUNE_OBJ)
$(B)/tests/unit/tune_cases_test: $(TUNE_OBJ)
