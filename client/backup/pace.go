package backup

import (
	"context"

	"golang.org/x/time/rate"
)

// pacer holds back what goes faster than its rate. Any number of goroutines may use it.
type pacer struct{ limiter *rate.Limiter }

// paceBurst is how many bytes may go at once.
const paceBurst = 256 << 10

// newPacer lets so many bytes a second go; 0: any number.
func newPacer(bytesPerSecond int64) *pacer {
	if bytesPerSecond <= 0 {
		return &pacer{}
	}
	return &pacer{rate.NewLimiter(rate.Limit(bytesPerSecond), paceBurst)}
}

// wait waits until n bytes more may go.
func (p *pacer) wait(ctx context.Context, n int) error {
	for ; p.limiter != nil && n > 0; n -= paceBurst {
		if err := p.limiter.WaitN(ctx, min(n, paceBurst)); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
	}
	return ctx.Err()
}
