// Package mutants keeps faults of one or a few lines that some test is known to catch,
// and plays them: whoever changes the code or the tests so that a fault would pass
// unseen learns of it from the gate. Those of catalogue/core are the ways in which the
// replication core could break its protocol; the core itself knows of none.
//
// A mutant is a file catalogue/AREA/NAME.mutant, a header and a diff:
//
//	breaks: a batch counts as durable before the disk has it
//	test: ./server -run ^TestFailedStoreStopsServer$
//	test: VIEWRING_SIM_MUTANT=60 ./tests/sim -run ^TestMutant$
//
//	+++ b/server/lane.go
//	@@
//	 	for c := range l.commits {
//	-		if err := c.wait(); err != nil {
//	+		if err := error(nil); err != nil {
//
// NAME is unique among all areas. The header says
//   - breaks: what goes wrong with it, in one sentence;
//   - test: environment, package and pattern of a test expected to catch it, as for
//     go test; of several lines the first one that catches is enough, so the
//     cheapest stands first. VIEWRING_ variables of the caller do not reach it. Whether
//     it passes without a mutant is tried once, so mutants that have a line in common
//     play faster: what the simulation catches has 60, 200 or 600 seeds for it;
//   - also: a test that must catch it too, beside one of those above: where a mutant
//     shows that two tests are worth something;
//   - timeout: how long each of these may run, 2m unless it says otherwise;
//   - survives: of a mutant that changes nothing anybody could see, the reason.
//
// The diff is what git diff prints, of one file or several, whose first lines and line
// numbers may stay or go. The lines of a hunk before the change (" " and "-") must be
// whole lines that stand together in the file exactly once, today: as few as make them
// unique. What comes of it must be formatted, compile, and differ. To write one, break
// the code, see the test fail, and
//
//	(echo 'breaks: …'; echo 'test: …'; echo; git diff -U0) > tests/mutants/catalogue/server/NAME.mutant
//	git checkout server
//
// TestCatalogue checks all of that but compilation, at every go test. TestPlay plays a
// sample with VIEWRING_SLOW=1. A mutant is caught when a test fails, panics, ends the
// process or takes longer than its timeout, and passes without the mutant. One that
// does not compile, or of which no test runs, is a fault of the mutant, and fails like
// one that survives. Harmless ones are not drawn; when all are played they are too, and
// must survive.
//
//	VIEWRING_MUTANTS        what to play: a number of mutants, a time after which none is
//	                        begun (2m), all, or 0; given, VIEWRING_SLOW is not needed
//	VIEWRING_MUTANTS_SEED   what is drawn; else the commit decides, or the day where
//	                        there is none. It is printed
//	VIEWRING_MUTANTS_TABLE  a file for the table of place, fault, catch and seconds
//
// One by name, and all of them, which takes long:
//
//	VIEWRING_MUTANTS=all go test -v ./tests/mutants -run '^TestPlay$/^NAME$'
//	VIEWRING_MUTANTS=all go test -v -timeout 0 ./tests/mutants -run 'TestPlay$'
package mutants
