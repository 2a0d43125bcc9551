package browser_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"

	"github.com/ridgeline-mlops/ridgeline/test/browser"
)

// A picture of a thousand colours keeps those that it has most of.
func TestSmall(t *testing.T) {
	full := image.NewRGBA(image.Rect(0, 0, 100, 100))
	for x := range 100 {
		for y := range 100 {
			full.Set(x, y, color.RGBA{G: 80, A: 255})
			if y >= 90 {
				full.Set(x, y, color.RGBA{R: uint8(x), B: uint8(y), A: 255})
			}
		}
	}
	var text bytes.Buffer
	if err := png.Encode(&text, full); err != nil {
		t.Fatal(err)
	}
	small, err := browser.Small(text.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	got, err := png.Decode(bytes.NewReader(small))
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := got.(*image.Paletted); !ok || len(p.Palette) != 256 || p.Bounds() != full.Bounds() {
		t.Fatalf("%T of %v", got, got.Bounds())
	}
	for at, want := range map[image.Point]color.Color{{}: color.RGBA{G: 80, A: 255}, {X: 50, Y: 89}: color.RGBA{G: 80, A: 255}} {
		if c := color.RGBAModel.Convert(got.At(at.X, at.Y)); c != want {
			t.Errorf("at %v: %v, want %v", at, c, want)
		}
	}
	if _, err := browser.Small([]byte("no picture")); err == nil {
		t.Error("what is no picture was taken for one")
	}
}
