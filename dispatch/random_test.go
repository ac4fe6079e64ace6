package dispatch

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// newRand returns random numbers; PYSPEED_TEST_SEED repeats a run.
func newRand(t testing.TB) (*rand.Rand, uint64) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("PYSPEED_TEST_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("PYSPEED_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0)), seed
}
