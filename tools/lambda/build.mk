# Builds one function for Lambda's provided.al2023: build-HoldsFunction makes a static bootstrap of functions/holds in
# ARTIFACTS_DIR. `sam build` calls it in the project's directory; the including Makefile sets GOARCH. lambda.norpc omits the
# go1.x protocol. Without VCS stamp and paths, equal sources give equal bytes, and a deployment replaces only functions that
# have changed.
build-%Function:
	CGO_ENABLED=0 GOOS=linux GOARCH=$(GOARCH) go build -trimpath -buildvcs=false -tags lambda.norpc -ldflags='-s -w' \
		-o '$(ARTIFACTS_DIR)/bootstrap' ./functions/$(shell echo $* | tr '[:upper:]' '[:lower:]')

# The same program for a second function, on Managed Instances.
build-%Instances: build-%Function ;
