package main

import "flashsale/pkg/api"

type openapiCmd struct{}

func (openapiCmd) Run(env environment) error {
	if err := localOnly(env); err != nil {
		return err
	}
	spec, err := api.OpenAPI()
	if err != nil {
		return err
	}
	return write(env.out, "%s", spec)
}
