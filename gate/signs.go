package gate

import (
	"math"
	"math/bits"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// atAll is the one-sided p of Fisher's sign-flip test that the challenger is
// better (side 1) or worse (−1) at all: if the models were alike, each
// difference could as well have had the other sign. Unlike the bootstrap's it
// is exact for any number of rows and any tails (Pitman, Supplement to the
// Journal of the Royal Statistical Society 4, 1937).
func (p *paired) atAll(side float64) float64 {
	if p.binary {
		return p.mcnemar(side)
	}
	if p.flips == nil {
		p.flips = flips(p.differences, rand.NewPCG(p.seed, 0xd1b54a32d192ed03))
	}
	var seen, square float64
	for _, d := range p.differences {
		seen += d
		square += d * d
	}
	if square == 0 {
		return 1
	}
	// Sums in another order differ by rounding; a tie counts.
	slack := 1e-12 * math.Sqrt(square*float64(len(p.differences)))
	return p.beyondPivots(side*p.metric.sign()*seen-slack, p.flips, side)
}

// flips are sums of the differences under random signs. Eight differences at a
// time have their sum for each of the 256 patterns of signs looked up.
func flips(differences []float64, source *rand.PCG) []float64 {
	tables := make([][256]float64, (len(differences)+7)/8)
	for g := range tables {
		eight := differences[8*g : min(8*g+8, len(differences))]
		table := &tables[g]
		for _, d := range eight {
			table[0] -= d
		}
		for pattern := 1; pattern < 256; pattern++ {
			table[pattern] = table[pattern&(pattern-1)]
			if bit := bits.TrailingZeros(uint(pattern)); bit < len(eight) {
				table[pattern] += 2 * eight[bit]
			}
		}
	}
	sums := make([]float64, resamples)
	for k := range sums {
		var random uint64
		for g := range tables {
			if g%8 == 0 {
				random = source.Uint64()
			}
			sums[k] += tables[g][random&255]
			random >>= 8
		}
	}
	return sums
}

// mcnemar is the exact one-sided p of McNemar's test (Psychometrika 12, 1947)
// for 0/1 losses: of so many discordant rows, as many or more in favour of the
// challenger (side 1) or the champion (−1) if either were as likely.
func (p *paired) mcnemar(side float64) float64 {
	wins, losses := p.labels[0], p.labels[1]
	if side < 0 {
		wins, losses = losses, wins
	}
	if wins == 0 {
		return 1
	}
	b := distuv.Binomial{N: float64(wins + losses), P: 0.5}
	return min(1, b.Survival(float64(wins-1)))
}
