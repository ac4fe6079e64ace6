package config

import "strings"

// nearest returns the candidate that name was most likely meant to be, or ""
// when none is near. The last part of a dotted name that fits exactly wins, so
// that a key in the wrong table finds its place.
func nearest(name string, candidates []string) string {
	const far = 1 << 20
	best, bestDistance := "", far
	_, leaf := cutLast(name)
	for _, c := range candidates {
		d := editDistance(strings.ToLower(name), c)
		if d > max(2, len(name)/4) || d >= len(c) {
			d = far
		}
		if _, candidateLeaf := cutLast(c); d == far && candidateLeaf == leaf && len(leaf) > 2 {
			d = far - 1 // any spelling mistake is nearer
		}
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

func cutLast(dotted string) (table, leaf string) {
	i := strings.LastIndexByte(dotted, '.')
	if i < 0 {
		return "", dotted
	}
	return dotted[:i], dotted[i+1:]
}

// editDistance counts insertions, deletions, substitutions and swaps of two
// neighbours (optimal string alignment). Long names are far from everything.
func editDistance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

// didYouMean is the end of an error about an unknown name.
func didYouMean(name string, candidates []string) string {
	if c := nearest(name, candidates); c != "" {
		return "; did you mean " + c + "?"
	}
	return "; pyspeed-gw config prints the options there are"
}
