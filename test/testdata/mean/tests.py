import unittest

import train


class Fit(unittest.TestCase):
    def test_line(self):
        model = train.fit([(0, 1), (1, 3), (2, 5)])
        self.assertAlmostEqual(model["slope"], 2)
        self.assertAlmostEqual(model["offset"], 1)
