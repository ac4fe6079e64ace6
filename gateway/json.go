package gateway

import (
	"fmt"

	"pyspeed/dispatch"
	"pyspeed/internal/config"
	jsonpass "pyspeed/json"
)

// openJSON makes what the JSON filters of all configurations share.
func (g *Gateway) openJSON() error {
	engine, err := jsonpass.NewEngine(g.cfg.JSON.Engine)
	if err != nil {
		return fmt.Errorf("json.engine: %w", err)
	}
	g.json = jsonpass.Settings{
		Engine: engine, Budget: g.budget,
		Answered: g.metrics.Counters("pyspeed_json_answers_total", "outcome", jsonpass.AnswerOutcomes()...),
		Asked:    g.metrics.Counters("pyspeed_json_requests_total", "outcome", jsonpass.RequestOutcomes()...),
		Failed: func(err error) {
			g.log.Error("cannot send an application's answer", "cause", err)
			g.metrics.Failed(dispatch.FailAnswerHead.Metric())
		},
	}
	return nil
}

func (g *Gateway) newJSON(c *config.JSON) *jsonpass.Filter {
	s := g.json
	s.Reencode, s.SortKeys, s.Validate, s.Except, s.MaxSize = c.Reencode, c.SortKeys, c.ValidateRequests, c.Except, c.MaxSize
	return jsonpass.New(s)
}

// aboutJSON is what the command check says of it.
func (g *Gateway) aboutJSON() string {
	c := &g.cfg.JSON
	if len(c.Reencode)+len(c.SortKeys)+len(c.ValidateRequests) == 0 {
		return ""
	}
	return "; JSON is handled by the engine " + g.json.Engine.String()
}
