package scaling

// Most is the most workers there may ever be.
const Most = 1024

// Bounds say how many workers there may be.
type Bounds struct {
	Min, Max int
	// Eager wants Max of them at any load, as far as the memory allows.
	Eager bool
}

// Fixed reports whether there is nothing to decide.
func (b Bounds) Fixed() bool { return b.Min == b.Max }

// Shift is n workers more, or fewer where n is negative, as an operator asks for by signal or command: of a fixed number at once, of a
// range the minimum. What was from 1 to Most stays so.
func (b Bounds) Shift(n int) Bounds {
	switch {
	case b.Eager:
		b.Max = clamp(b.Max+n, b.Min)
	case b.Fixed():
		b.Min = clamp(b.Min+n, 1)
		b.Max = b.Min
	default:
		b.Min = clamp(b.Min+n, min(b.Min, 1))
		b.Max = max(b.Min, b.Max)
	}
	return b
}

func clamp(n, least int) int { return min(max(n, least), Most) }
