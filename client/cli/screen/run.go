package screen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
)

// framesMax is how often a second the terminal is written to, at most.
const framesMax = 30

// Options of Run. Input, Output and Source are required.
type Options struct {
	Input    io.Reader // a terminal, as the file
	Output   io.Writer // likewise
	Source   Source
	Interval time.Duration    // between two readings; default 1 s
	Color    bool             // whether to color
	Now      func() time.Time // for tests
}

// Run shows the screen until the user quits or ctx ends, or a signal says so. Whatever ends it, the terminal is as it
// was before; what kills the process at once, such as SIGKILL, leaves it as it is.
func Run(ctx context.Context, o Options) error {
	o.Interval = cmp.Or(o.Interval, time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	p := tea.NewProgram(newModel(ctx, &o), tea.WithContext(ctx), tea.WithInput(o.Input), tea.WithOutput(o.Output),
		tea.WithoutSignalHandler(), tea.WithFPS(framesMax))
	_, err := p.Run()
	switch {
	case err == nil, ctx.Err() != nil && !errors.Is(err, tea.ErrProgramPanic):
		return nil
	default:
		return fmt.Errorf("show the screen: %w", err)
	}
}
