package main

import "flashsale/pkg/api"

type openapiCmd struct{}

func (openapiCmd) Run(env environment) error {
	spec, err := api.OpenAPI()
	if err != nil {
		return err
	}
	return write(env.out, "%s", spec)
}
