//go:build sonic && (amd64 || arm64) && !go1.28

package jsonpass

import (
	"runtime"

	"github.com/bytedance/sonic/utf8"
	"golang.org/x/sys/cpu"
)

// Only a build that asks for it has sonic: to import it costs each start some 5 ms and 3 MiB, used or not, and ends the program at
// once where the system lets no memory become executable (systemd's MemoryDenyWriteExecute, PR_SET_MDWE).

// whyNoSonic is why sonic cannot be used; "": it can. Without vector code for the processor it would do with the
// standard library.
func whyNoSonic() string {
	if runtime.GOARCH == "amd64" && !cpu.X86.HasAVX2 {
		return "this processor has no AVX2"
	}
	return ""
}

// sonicEngine has sonic's vector code look for what is no UTF-8, which takes most of the time where there is much beyond ASCII.
//
// Nothing else of sonic is used. Its Valid takes what is no JSON: control characters and unknown escapes in strings, and
// strings of some lengths without an end; TestSonicValid has them. Its ways to write a text anew are slower than compact, and
// change what there was; see docs/json.md.
var sonicEngine = Engine{
	name: Sonic,
	compact: func(dst, src []byte) (int, bool) {
		if !utf8.Validate(src) {
			return 0, false
		}
		return compact(dst, src)
	},
}
